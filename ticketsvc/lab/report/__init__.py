"""Run notebooks with papermill and turn them into offline HTML pages with an index."""
