"""Sizing: the smallest pool that serves a share of claims, from the demand that there was.

Everything here is pure: the clock and the history are arguments. `demand` makes claims of records, `history` counts
them, `forecast` predicts those of the next lead time from a season whose detail `priors` decides, `calibration`
corrects the forecast by its own past errors, `sizer` turns it into a size. `trace` reads demand from a file and
`simulation` replays it against `policies`.
"""
