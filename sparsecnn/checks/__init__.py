"""The contracts as runnable checks, for the package's own classes and for yours.

Each ``check_*`` returns None or raises ``ContractError``, which names the property that fails and a
counterexample. An island: knows no module of the package but validation, only the methods it calls.
"""

from .contract import ContractError
from .dictionaries import check_dictionary
from .layers import check_layer
from .priors import check_prior
from .solvers import check_solver

__all__ = ["ContractError", "check_dictionary", "check_layer", "check_prior", "check_solver"]
