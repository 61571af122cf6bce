from django.urls import path

from emailgistics.reports.api.views import StatisticsViewSet

urlpatterns = [path("statistics", StatisticsViewSet.as_view({"get": "retrieve"}))]
