"""`make texts`: writes the texts of the sources to the catalogues in `provider/texts/`."""

from tests.texts.catalogue import write_catalogues

write_catalogues()
