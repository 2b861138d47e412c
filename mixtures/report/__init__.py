"""Words and pictures: figures, the HTML page, exported files."""
