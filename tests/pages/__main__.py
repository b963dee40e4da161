"""Write every page that is made from the code, and its pictures: `PYTHONPATH=tests python -m pages`, as `make docs`."""

from attnbench.reports.files import put
from pages import pages, pictures

for path, content in {**{path: text() for path, text in pages().items()}, **pictures()}.items():
    path.parent.mkdir(parents=True, exist_ok=True)
    print(put(path, content))
