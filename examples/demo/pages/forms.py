"""The upload form."""

from django import forms

from pages.models import Document


class DocumentForm(forms.ModelForm):
    """A title and a file of any kind."""

    class Meta:
        model = Document
        fields = ["title", "file"]
