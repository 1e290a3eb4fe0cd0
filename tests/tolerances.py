"""Every tolerance of the tests, once, with its reason. Errors are relative to order one."""

#: sums of a few hundred terms of order one, done in two orders (1e-16 each)
ROUNDING = 1e-12

#: equal formulas, one operation apart
FEW_ULPS = 1e-14

#: a closed form may lose to the best grid point by rounding only: objectives are below 1e3 here
PROX_EXCESS = 1e-10

#: central differences with step 1e-6: truncation 1e-12 times a third derivative below 1e3,
#: rounding 1e-16 / 1e-6; relative to the derivative's size
DERIVATIVE = 1e-6

#: a numeric supremum: grid plus golden section in double precision, error of second order
SUPREMUM = 1e-8

#: one float32 evaluation against float64
SINGLE = 2e-5

#: an eigenvalue from a dense solver, relative to the matrix norm
EIGENVALUE = 1e-10

#: a Lanczos eigenvalue stopped at a relative 1e-7
LANCZOS = 1e-6
