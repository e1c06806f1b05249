"""Documents in the admin."""

from django.contrib import admin

from pages.models import Document


@admin.register(Document)
class DocumentAdmin(admin.ModelAdmin):
    """List, search, upload and delete documents."""

    list_display = ["title", "file", "uploaded_at"]
    list_filter = ["uploaded_at"]
    search_fields = ["title"]
