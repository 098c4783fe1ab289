"""Where everything is."""

from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from oauth2_provider.views import RevokeTokenView, TokenView

from reporting.web import web_urlpatterns


handler400 = "config.pages.bad_request"
handler404 = "config.pages.not_found"
handler500 = "config.pages.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("", include("trials.log_in.urls")),  # before the admin's own log-in
    path("", include("config.admin_urls")),
    path("oauth/token", TokenView.as_view(), name="token"),
    path("oauth/revoke", RevokeTokenView.as_view(), name="revoke"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("trials.api.urls")),
    path("api/v1/", include("patients.api.urls")),
    path("api/v1/", include("dosing.api.urls")),
    path("api/v1/", include("reporting.api.urls")),
    *web_urlpatterns,
]
