"""Sizing: the smallest pool that serves a share of claims, from the demand that there was.

Everything here is pure: the clock and the history are arguments. `history` counts claims, `forecast` predicts those
of the next lead time from a season whose detail `priors` decides, `calibration` corrects the forecast by its own past
errors, `sizer` turns it into a size. `trace` reads demand from a file, `simulation` replays it against a policy and
`compare` against all of `policies`.
"""
