"""The self-test: its figures judged, drawn and written as a page."""
