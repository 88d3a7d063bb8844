"""`make demo`: the product at work on the sample application, on a laptop, in under a minute."""
