"""Statistics on plain arrays: no database, no clock, no framework.

The modules are imported by name, so that importing this package, or ``results`` with the values it
returns, costs nothing; the numerical libraries load with ``survival``.
"""
