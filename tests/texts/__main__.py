"""`make texts`: writes the texts of the sources to `provider/texts/messages.pot`."""

from tests.texts.catalogue import write_catalogue

write_catalogue()
