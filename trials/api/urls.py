from django.urls import path

from trials.api.clients import ClientEnds, ClientRenewals, Clients, LockEnds, LogIns
from trials.api.feed import EventFeed
from trials.api.views import RandomisationLists, Sites, Trials


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
]
