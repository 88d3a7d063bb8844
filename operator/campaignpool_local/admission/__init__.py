"""What the API server does to an object before it stores it: decoding, defaults, validation by kind."""
