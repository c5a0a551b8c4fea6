"""Runs as a folder of pages that open from disk: `evalsuite.report.page.write`."""
