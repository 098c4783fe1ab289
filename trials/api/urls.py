from django.urls import path

from trials.api import accounts, people, reviews, sites
from trials.api.clients import ClientEnds, ClientRenewals, Clients
from trials.api.deliveries import Deliveries, DeliveryReplays
from trials.api.looks import RefusedLooks
from trials.api.protocol_checks import ProtocolChecks
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
    path("protocol-checks", ProtocolChecks.as_view(), name="protocol-checks"),
    path("sites", Sites.as_view(), name="sites"),
    path("clients", Clients.as_view(), name="clients"),
    path("clients/<uuid:client_id>/renewals", ClientRenewals.as_view(), name="client-renewals"),
    path("clients/<uuid:client_id>/ends", ClientEnds.as_view(), name="client-ends"),
    path("people", accounts.People.as_view(), name="people"),
    path("passwords", accounts.Passwords.as_view(), name="passwords"),
    path("factor-removals", accounts.FactorRemovals.as_view(), name="factor-removals"),
    path("sign-on-bindings", accounts.SignOnBindings.as_view(), name="sign-on-bindings"),
    path("log-ins", accounts.LogIns.as_view(), name="log-ins"),
    path("log-in-reopenings", accounts.LogInReopenings.as_view(), name="log-in-reopenings"),
    path("lock-ends", accounts.LockEnds.as_view(), name="lock-ends"),
    path("address-lock-ends", accounts.AddressLockEnds.as_view(), name="address-lock-ends"),
    path("trials/<slug:code>/access", reviews.AccessNow.as_view(), name="access"),
    path("access-reviews", reviews.AccessReviews.as_view(), name="access-reviews"),
    path("access-reviews/<uuid:review_id>", reviews.SignedReview.as_view(), name="access-review"),
    path("site-status-changes", sites.SiteStatusChanges.as_view(), name="site-status-changes"),
    path("site-activations", sites.SiteActivations.as_view(), name="site-activations"),
    path("site-holds", sites.SiteHolds.as_view(), name="site-holds"),
    path("site-resumptions", sites.SiteResumptions.as_view(), name="site-resumptions"),
    path("permissions", people.Permissions.as_view(), name="permissions"),
    path("trainings", people.Trainings.as_view(), name="trainings"),
    path("roles", people.Roles.as_view(), name="roles"),
    path("roles/<uuid:role_id>/ends", people.RoleEnds.as_view(), name="role-ends"),
    path("leavers", people.Leavers.as_view(), name="leavers"),
    path("on-call-duties", people.OnCallDuties.as_view(), name="on-call-duties"),
    path(
        "on-call-duties/<uuid:duty_id>/cancellations",
        people.OnCallCancellations.as_view(),
        name="on-call-cancellations",
    ),
    path("trials/<slug:code>/on-call", people.OnCallNow.as_view(), name="on-call"),
    path("deliveries", Deliveries.as_view(), name="deliveries"),
    path(
        "deliveries/<int:delivery_id>/replays",
        DeliveryReplays.as_view(),
        name="delivery-replays",
    ),
    path("refused-looks", RefusedLooks.as_view(), name="refused-looks"),
    path("randomisation-lists", RandomisationLists.as_view(), name="randomisation-lists"),
    path("generated-randomisation-lists", GeneratedLists.as_view(), name="generated-lists"),
    path(f"{_LIST}/dry-run", ListDryRun.as_view(), name="list-dry-run"),
    path(f"{_LIST}/approvals", ListApprovals.as_view(), name="list-approvals"),
    path(f"{_LIST}/withdrawals", ListWithdrawals.as_view(), name="list-withdrawals"),
]
