"""Binary quadratic models, of dimod or of arrays, in the form that the core solves."""
