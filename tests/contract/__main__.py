"""Makes the files of the contract anew: ``python -m tests.contract``."""

from tests.contract.files import files

for path, text in files().items():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
