"""Write every page that is made from the code: `PYTHONPATH=tests python -m pages`, as `make docs` does."""

from pages import pages

for path, text in pages().items():
    path.write_text(text(), encoding="utf-8")
    print(path)
