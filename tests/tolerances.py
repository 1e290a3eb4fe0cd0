"""Every tolerance of the tests, once, with its reason. Errors are relative to order one."""

#: sums of a few hundred terms of order one, done in two orders (1e-16 each)
ROUNDING = 1e-12

#: equal formulas, one operation apart
FEW_ULPS = 1e-14

#: a closed form may lose to the best grid point by rounding only: objectives are below 1e3 here
PROX_EXCESS = 1e-10

#: a numeric supremum: grid plus golden section in double precision, error of second order
SUPREMUM = 1e-8

#: one float32 evaluation against float64
SINGLE = 2e-5

#: an eigenvalue from a dense solver, relative to the matrix norm
EIGENVALUE = 1e-10

#: a Lanczos eigenvalue stopped at a relative 1e-7
LANCZOS = 1e-6

#: a float32 twin's eigenvalue against float64: entries rounded to 6e-8, norms of order ten
SINGLE_EIGENVALUE = 1e-5

#: central differences of a quadratic with step 1e-4: no truncation, rounding 1e-15 / 1e-4
QUADRATIC_SLOPE = 1e-7

#: least energies of two solvers that were both asked for a relative gap of 1e-12
PEER = 1e-8

#: what L-BFGS-B leaves of a least energy, and of a code, near its own stopping rule
LBFGS = 1e-7

#: the relative gap at a code known to LBFGS: first order in how far its residual is from feasible
LBFGS_GAP = 1e-6

#: a relative gap whose dual point starts some tens of times the data away, with its rounding
FAR_INTERIOR = 1e-11

#: scaling by a power of two is exact; other units round once in every product
UNITS = 1e-9

#: areas of up to a million polygons, added up in double precision
AREAS = 1e-9

#: outputs of a small network at points of its own cells: values below 1e3, hundreds of terms
NETWORK_VALUE = 1e-9

#: two scores at the middle of a computed boundary segment: the edge is known to 1e-9 of its length
TIE = 1e-7

#: arccos near 1 keeps half the digits
ARCCOS = 1e-7

#: central differences of a piecewise-linear function with step 1e-6: rounding 1e-16 / 1e-6
PIECEWISE_SLOPE = 1e-8

#: two least-squares solutions of a well-conditioned problem with a ridge of 1e-8
RIDGE = 1e-6

#: a power law fitted to waves 8 to 30 of a kernel on a grid: what finite waves and the grid leave
SPECTRAL_SLOPE = 0.1

#: a power of the number of filters read off between 10^3 and 10^6: lower powers are left
GROWTH_SLOPE = 1e-3

#: an exponent at a thousand examples and in the limit: the literature's own slopes differ so
LEARNING_SLOPE = 0.05

#: an activation against the prox of its own penalty: Newton's method in double precision
ROUND_TRIP = 1e-9

#: what torch's Softplus loses where it switches to x: log(1 + exp(-20)) / beta, beta >= 0.3
SWITCH = 1e-8

#: where a picture's jump or dead zone ends: a sixtieth or less, halved twenty times
BISECTED = 1e-7

#: a posterior mean 1e-8 of the prior's scale against leading orders of its asymptotic series
DENSE_SUM = 1e-4

#: an activation is a few operations, each rounded once, and exp, tanh or erfcx, right to 2 ulps:
#: 3.7 were measured, and other processors have other kernels
ACTIVATION_ULPS = 8

#: torch's hardsigmoid has the slope float32(1/6), and 1 - tanh(6)^2 cancels there
TORCH_KINK = 1e-7

#: Cardano's cosines, Lambert's W and square roots of differences, beside Newton's root
CLOSED_FORM = 1e-7
