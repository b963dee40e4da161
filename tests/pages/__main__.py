"""Write what is made from the code: pages, pictures, the schema. `PYTHONPATH=tests python -m pages`, as `make docs`."""

from attnbench.reports.data.files import put
from attnbench.suites.schema import schema
from pages import DOCS, pages, pictures

# The schema first: a page is made from it.
made = {DOCS.parent / "suites" / "schema.json": schema.as_text()}
for path, content in {**made, **{path: text() for path, text in pages().items()}, **pictures()}.items():
    path.parent.mkdir(parents=True, exist_ok=True)
    print(put(path, content))
