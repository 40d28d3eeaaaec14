"""The contract as files for programs, which are committed."""

import json
from pathlib import Path
from typing import Final

from app.factory import create_app
from app.settings import settings_from
from schema.contract import json_schema, typescript

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs" / "contract"
TYPES: Final = ROOT / "sdk" / "js" / "events.d.ts"
COMMAND: Final = "./justw contract"


def files() -> dict[Path, str]:
    """Return what each file has to hold."""
    app = create_app(settings_from({"JOBCAST_DEMO": "1"}))
    contract = app.extensions["jobcast.contract"]()
    documents = {
        "openapi.json": contract.openapi["3.1.1"],
        "openapi-3.2.json": contract.openapi["3.2.0"],
        "asyncapi.json": contract.asyncapi,
        "schema.json": json_schema(),
    }
    texts = {
        FOLDER / name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in documents.items()
    }
    return {**texts, TYPES: typescript()}
