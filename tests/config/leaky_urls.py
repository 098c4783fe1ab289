"""Addresses as a careless hand would write them: they ask for every row, whoever reads."""

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from patients.models import Subject


def all_numbers() -> list[str]:
    return sorted(Subject.objects.values_list("number", flat=True))


def every_subject(request: HttpRequest) -> HttpResponse:
    name = request.user.get_username()
    return JsonResponse({"who": name, "numbers": all_numbers()})


def nobody_was_asked_for(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"numbers": all_numbers()})


def breaks(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"{request.user.get_username()} found a bug")


def loses_its_connection(request: HttpRequest) -> HttpResponse:
    name = request.user.get_username()
    connection.connection.close()
    return HttpResponse(name)


class EverySubject(APIView):
    def get(self, request: Request) -> Response:
        return Response({"numbers": all_numbers()})


urlpatterns = [
    path("every-subject", every_subject),
    path("unasked", nobody_was_asked_for),
    path("breaks", breaks),
    path("loses-its-connection", loses_its_connection),
    path("api/v1/every-subject", EverySubject.as_view()),
]
