"""Contract tests for methods from outside of this package: ``check_method(MySAM)``."""

from __future__ import annotations

from xsam.testing.method import ContractError as ContractError
from xsam.testing.method import check_method as check_method

__all__ = ["ContractError", "check_method"]
