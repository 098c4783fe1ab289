from django.urls import path

from trials.api.clients import ClientEnds, ClientRenewals, Clients, LockEnds, LogIns
from trials.api.feed import EventFeed
from trials.api.randomisation import (
    GeneratedLists,
    ListApprovals,
    ListDryRun,
    ListWithdrawals,
    RandomisationLists,
)
from trials.api.views import Sites, Trials


_LIST = "randomisation-lists/<uuid:list_id>"

urlpatterns = [
    path("trials", Trials.as_view(), name="trials"),
    path("sites", Sites.as_view(), name="sites"),
    path("events", EventFeed.as_view(), name="events"),
    path("clients", Clients.as_view(), name="clients"),
    path("clients/<uuid:client_id>/renewals", ClientRenewals.as_view(), name="client-renewals"),
    path("clients/<uuid:client_id>/ends", ClientEnds.as_view(), name="client-ends"),
    path("log-ins", LogIns.as_view(), name="log-ins"),
    path("lock-ends", LockEnds.as_view(), name="lock-ends"),
    path("randomisation-lists", RandomisationLists.as_view(), name="randomisation-lists"),
    path("generated-randomisation-lists", GeneratedLists.as_view(), name="generated-lists"),
    path(f"{_LIST}/dry-run", ListDryRun.as_view(), name="list-dry-run"),
    path(f"{_LIST}/approvals", ListApprovals.as_view(), name="list-approvals"),
    path(f"{_LIST}/withdrawals", ListWithdrawals.as_view(), name="list-withdrawals"),
]
