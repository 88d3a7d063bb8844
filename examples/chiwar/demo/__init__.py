"""`make demo`: shows the product with the sample application on one machine, in less than a minute."""
