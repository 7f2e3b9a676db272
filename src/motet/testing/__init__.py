"""Public conformance suites: run them on a component of your own and they name what it gets wrong."""

from motet.testing.balancer import check_balancer
from motet.testing.fusion import check_fusion
from motet.testing.input import check_input
from motet.testing.sharing import check_sharing
from motet.testing.task import check_task
from motet.testing.throttle import check_throttle

__all__ = ["check_balancer", "check_fusion", "check_input", "check_sharing", "check_task", "check_throttle"]
