"""The web admin's address."""

from django.urls import path

from trials.admin_site import site


urlpatterns = [path("admin/", site.urls)]
