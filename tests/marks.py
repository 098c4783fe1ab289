"""Marks that say what a test stands on."""

import pytest


# Real PostgreSQL over all three log-ins, real commits; everything is emptied by the owner after.
on_postgres = pytest.mark.django_db(transaction=True, databases=("default", "sealed", "owner"))
