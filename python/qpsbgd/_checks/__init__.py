"""Checks of the arguments of public functions, each in one place.

``check_...`` raises an error or returns nothing. ``checked_...`` raises an error or returns the
value in the type that the package computes with. Each message shows the value and the rule, and
says what to do where that does not follow from the rule.
"""
