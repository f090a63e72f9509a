"""
Compare optimisers fairly
=========================

One run on one split says little: its test accuracy has a standard error of nearly a point on 360
images. This page trains QPSBGD, BinaryConnect and SIGNUM on the same splits, with the same network
and schedule.
"""
