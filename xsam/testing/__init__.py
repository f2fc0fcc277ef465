"""Contract tests for methods from outside of this package: ``check_method(MySAM)``."""

from __future__ import annotations

from xsam.testing.method import check_method as check_method
from xsam.testing.subject import ContractError as ContractError

__all__ = ["ContractError", "check_method"]
