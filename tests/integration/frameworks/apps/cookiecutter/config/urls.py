"""The pages."""

from django.urls import path
from shop.notes import views

urlpatterns = [
    path("", views.notes),
    path("export/", views.export),
]
