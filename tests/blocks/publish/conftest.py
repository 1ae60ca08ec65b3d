from robotrove.tests.support.hub.fixtures import hub

__all__ = ["hub"]
