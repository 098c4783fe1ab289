from django.urls import path

from trials.api.feed import EventFeed
from trials.api.views import RandomisationLists, Sites, Trials


urlpatterns = [
    path("trials", Trials.as_view(), name="trials"),
    path("sites", Sites.as_view(), name="sites"),
    path("events", EventFeed.as_view(), name="events"),
    path("randomisation-lists", RandomisationLists.as_view(), name="randomisation-lists"),
]
