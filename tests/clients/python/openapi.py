"""Holds an OpenAPI document, the file named on the command line, against the specification of its version."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
errors = [f"{list(error.absolute_path)}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
if errors:
    sys.exit("\n".join(errors))
# A validator that finds nothing in anything proves nothing.
del document["info"]["title"]
if not list(OpenAPIV31SpecValidator(document).iter_errors()):
    sys.exit("a document without a title is not valid, and nobody noticed")
