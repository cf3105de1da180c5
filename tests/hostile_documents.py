"""Files that a candidate could send to do harm, the same ones at every run."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import partial

import pikepdf
from pikepdf import Array, Dictionary, Name, String
from PIL import Image

from tests import check_document_factories as factories
from tests.check_document_factories import CANARY
from tests.pictures import png_chunk

HostileFile = tuple[str, bytes]  # a name, the content

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
SCRIPT = f"app.alert('{CANARY.decode()}');"
APPENDED = {
    "zip": b"PK\x03\x04" + CANARY + b"PK\x05\x06" + b"\0" * 18,
    "html": b"<html><script>alert('" + CANARY + b"')</script></html>",
    "php": b"<?php system('" + CANARY + b"'); ?>",
    "exe": b"MZ\x90\x00" + CANARY,
    "pdf": b"%PDF-1.4\n" + CANARY + b"\n%%EOF",
    "megabyte": CANARY * 90_000,
}
OTHER_FILES = {
    "empty": b"",
    "one_byte": b"\xff",
    "text": b"hello",
    "gif": b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00;",
    "bmp": b"BM" + b"\0" * 60,
    "tiff": b"II*\x00\x08\x00\x00\x00",
    "tiff_big_endian": b"MM\x00*\x00\x00\x00\x08",
    "ico": b"\x00\x00\x01\x00\x01\x00\x10\x10",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "svg_declared": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    "html": b"<!DOCTYPE html><script>alert(1)</script>",
    "xml_bomb": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b '&c;&c;'>]><a>&b;</a>",
    "zip": b"PK\x03\x04" + b"\0" * 40,
    "gzip": zlib.compress(b"\0" * 100_000, 9),
    "rar": b"Rar!\x1a\x07\x00",
    "7z": b"7z\xbc\xaf\x27\x1c",
    "exe": b"MZ" + b"\0" * 60,
    "elf": b"\x7fELF" + b"\0" * 60,
    "heic": b"\x00\x00\x00\x18ftypheic" + b"\0" * 40,
    "mp4": b"\x00\x00\x00\x18ftypisom" + b"\0" * 40,
    "webm": b"\x1aE\xdf\xa3" + b"\0" * 40,
    "mp3": b"ID3" + b"\0" * 40,
    "postscript": b"%!PS-Adobe-3.0\n(%pipe%id) (w) file",
    "eps": b"\xc5\xd0\xd3\xc6" + b"\0" * 30,
    "word": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500,
    "imagemagick": b"push graphic-context\nimage over 0,0 0,0 'ephemeral:/etc/passwd'",
    "fits": b"SIMPLE  =                    T",
    "photoshop": b"8BPS\x00\x01" + b"\0" * 30,
    "jpeg_2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    "avif": b"\x00\x00\x00\x1cftypavif" + b"\0" * 40,
    "pdf_after_text": b"hello\n%PDF-1.4\n",
    "riff_other": b"RIFF\x10\x00\x00\x00AVI LIST",
}


def hostile_files() -> Iterator[HostileFile]:
    """Yield every file. The names are different."""
    bases = {
        "jpeg": factories.jpeg(),
        "png": factories.png(),
        "webp": factories.webp(),
        "pdf": factories.pdf(2),
    }
    yield from OTHER_FILES.items()
    for name, content in bases.items():
        yield from _damage(name, content)
    yield from _hostile_png()
    yield from _hostile_jpeg()
    yield from _hostile_webp()
    yield from _hostile_pdf_texts()
    yield from _hostile_pdf_objects()


def _damage(name: str, content: bytes) -> Iterator[HostileFile]:
    dice = random.Random(name)
    for number in range(12):
        yield f"{name}_truncated_{number}", content[: 16 + (len(content) - 16) * number // 12]
    for number in range(16):
        damaged = bytearray(content)
        for _ in range(1 + number):
            damaged[dice.randrange(12, len(damaged))] = dice.randrange(256)
        yield f"{name}_flipped_{number}", bytes(damaged)
    for number in range(6):
        yield f"{name}_magic_{number}", content[:12] + dice.randbytes(40 * 5**number)
    for suffix, appended in APPENDED.items():
        yield f"{name}_then_{suffix}", content + appended
    start = dice.randrange(20, len(content) // 2)
    yield f"{name}_cut_out", content[:start] + content[start + 30 :]
    yield f"{name}_doubled", content + content


def _png(width: int, height: int, depth: int, colour: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG_MAGIC + png_chunk(b"IHDR", header) + b"".join(chunks) + png_chunk(b"IEND", b"")


def _hostile_png() -> Iterator[HostileFile]:
    zeros = zlib.compress(b"\0" * 1_000_000, 9)
    data = png_chunk(b"IDAT", zeros)
    for width, height in (
        *((30_000, 30_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1), (2**31, 1), (0, 0)),
        *((1, 2**31 - 1), (60_000_001, 1), (8000, 8000)),
    ):
        yield f"png_bomb_{width}x{height}", _png(width, height, 8, 6, data)
    rows = zlib.compress(b"\0" * (7000 * (7000 // 8 + 1)), 9)
    yield "png_bomb_49_megapixels", _png(7000, 7000, 1, 0, png_chunk(b"IDAT", rows))
    text = b"Comment\0\0" + zlib.compress(b"A" * 30_000_000, 1)
    yield "png_text_bomb", _png(1, 1, 8, 0, png_chunk(b"zTXt", text), data)
    many = png_chunk(b"tEXt", b"Author\0" + CANARY) * 2000
    yield "png_many_texts", factories.png().replace(b"IDAT", b"IDAT", 1)[:33] + many + data
    profile = b"icc\0\0" + zlib.compress(b"A" * 30_000_000, 1)
    yield "png_profile_bomb", _png(1, 1, 8, 0, png_chunk(b"iCCP", profile), data)
    for depth, colour in ((3, 0), (16, 3), (1, 6), (255, 255), (8, 5)):
        yield f"png_depth_{depth}_{colour}", _png(10, 10, depth, colour, data)
    yield "png_without_data", _png(10, 10, 8, 2)
    yield "png_palette_missing", _png(10, 10, 8, 3, data)
    yield "png_end_first", PNG_MAGIC + png_chunk(b"IEND", b"")
    yield "png_negative_chunk", PNG_MAGIC + b"\xff\xff\xff\xffIHDR" + b"\0" * 20
    frames = [factories.picture(colour=colour) for colour in ("white", "black")]
    moving = factories.encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield "png_moving", moving
    yield "png_grey_16", factories.encode(Image.new("I;16", (50, 50), 40_000), "PNG")


def _hostile_jpeg() -> Iterator[HostileFile]:
    base = factories.jpeg()
    size_at = base.index(b"\xff\xc0") + 5
    for height, width in ((65_535, 65_535), (0, 0), (65_535, 1), (1, 65_535), (20_000, 20_000)):
        yield (
            f"jpeg_size_{height}x{width}",
            base[:size_at] + struct.pack(">HH", height, width) + base[size_at + 4 :],
        )
    progressive = factories.encode(factories.picture(800, 800), "JPEG", progressive=True)
    scan_at = progressive.index(b"\xff\xda")
    yield "jpeg_many_scans", progressive[:-2] + progressive[scan_at:-2] * 300 + b"\xff\xd9"
    comment = b"\xff\xfe\xff\xff" + CANARY + b"A" * (65_533 - len(CANARY))
    yield "jpeg_many_comments", base[:2] + comment * 50 + base[2:]
    for orientation in (0, 9, 65_535):
        yield f"jpeg_orientation_{orientation}", factories.jpeg(orientation)
    exif_at = base.index(b"Exif\0\0") + 6
    for number in range(8):
        loop = bytearray(base)
        loop[exif_at + 4 : exif_at + 8] = struct.pack(">I", number * 3)
        yield f"jpeg_exif_loop_{number}", bytes(loop)
    yield "jpeg_cmyk", factories.encode(factories.picture().convert("CMYK"), "JPEG")
    mpo = factories.encode(
        factories.picture(), "MPO", save_all=True, append_images=[factories.picture(40, 30)]
    )
    yield "jpeg_of_two_pictures", mpo
    yield "jpeg_start_alone", b"\xff\xd8\xff\xd9"
    yield "jpeg_nested_starts", b"\xff\xd8" * 5000 + base[2:]


def _hostile_webp() -> Iterator[HostileFile]:
    for bits in (0xFFFFFFF, 0x0FFF_C000, 0):
        lossless = b"\x2f" + struct.pack("<I", bits) + b"\0" * 40
        chunk = b"VP8L" + struct.pack("<I", len(lossless)) + lossless
        yield f"webp_lossless_{bits}", _riff(chunk)
    extended = b"VP8X" + struct.pack("<I", 10) + b"\xff\0\0\0" + b"\xff\xff\xff" * 2
    yield "webp_extended_huge", _riff(extended)
    yield "webp_extended_metadata", _riff(extended + b"EXIF" + struct.pack("<I", 2**31) + CANARY)
    frames = [factories.picture(colour=colour) for colour in ("white", "black", "blue")]
    moving = factories.encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    yield "webp_moving", moving
    base = factories.webp()
    yield "webp_size_lies", base[:4] + b"\xff\xff\xff\xff" + base[8:]
    yield "webp_size_small", base[:4] + b"\x04\0\0\0" + base[8:]
    yield "webp_transparent", factories.encode(Image.new("RGBA", (60, 60), (0, 0, 0, 0)), "WEBP")


def _riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _pdf_text(
    page: str = "", content: bytes = b"", catalogue: str = "", objects: str = "", tree: str = ""
) -> bytes:
    """Return a PDF without a table of objects, written by hand: a reader has to mend it."""
    tree = tree or "<</Type/Pages/Kids[3 0 R]/Count 1>>"
    box = "" if "MediaBox" in page else "/MediaBox[0 0 200 200]"
    return (
        f"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R {catalogue}>>endobj\n2 0 obj{tree}endobj\n"
        f"3 0 obj<</Type/Page/Parent 2 0 R{box}/Contents 4 0 R {page}>>endobj\n"
        f"4 0 obj<</Length {len(content)}>>stream\n"
    ).encode() + (
        content + f"\nendstream endobj\n{objects}\ntrailer<</Root 1 0 R/Size 9>>\n%%EOF".encode()
    )


def _hostile_pdf_texts() -> Iterator[HostileFile]:
    script = f"<</S/JavaScript/JS({SCRIPT})>>"
    catalogues = {
        "open_action": f"/OpenAction{script}",
        "additional_action": f"/AA<</WC{script}/DP{script}>>",
        "names_script": f"/Names<</JavaScript<</Names[(a){script}]>>>>",
        "launch": f"/OpenAction<</S/Launch/F({CANARY.decode()})/Win<</F(cmd.exe)>>>>",
        "uri": "/OpenAction<</S/URI/URI(https://example.com/)>>",
        "remote": "/OpenAction<</S/GoToR/F(\\\\\\\\example.com\\\\share)/D[0/Fit]>>",
        "submit": "/OpenAction<</S/SubmitForm/F<</FS/URL/F(https://example.com/)>>>>",
        "xfa": "/AcroForm<</Fields[]/XFA(<xdp:xdp/>)>>",
        "portfolio": "/Collection<</Type/Collection>>",
        "loop": "/Outlines 1 0 R/Names 1 0 R/AcroForm 1 0 R",
        "layers": "/OCProperties<</OCGs[1 0 R]/D<</Order[1 0 R]>>>>",
        "extensions": "/Extensions 1 0 R/Perms<</DocMDP 1 0 R>>",
    }
    for name, catalogue in catalogues.items():
        yield f"pdf_{name}", _pdf_text(catalogue=catalogue)
    for name, box in {
        "huge": "0 0 1000000000 1000000000",
        "huge_width": "0 0 1000000000 1",
        "zero": "0 0 0 0",
        "tiny": "0 0 0.0001 0.0001",
        "negative": "0 0 -100 -200",
        "overflow": "0 0 99999999999999999999999999 1",
        "exponent": "0 0 1e400 1e400",
        "words": "/a /b /c /d",
        "short": "0 0",
        "far": "2147483647 2147483647 2147483648 2147483648",
    }.items():
        yield f"pdf_box_{name}", _pdf_text(page=f"/MediaBox[{box}]")
    yield "pdf_user_unit", _pdf_text(page="/UserUnit 1000000")
    yield "pdf_rotated", _pdf_text(page="/Rotate 123456789")
    for name, tree in {
        "tree_loop": "<</Type/Pages/Kids[2 0 R]/Count 1>>",
        "count_lies": "<</Type/Pages/Kids[3 0 R]/Count 2000000000>>",
        "count_negative": "<</Type/Pages/Kids[3 0 R]/Count -5>>",
        "no_pages": "<</Type/Pages/Kids[]/Count 0>>",
        "kids_missing": "<</Type/Pages>>",
        "same_page": f"<</Type/Pages/Kids[{'3 0 R ' * 10_000}]/Count 10000>>",
        "deep": "[" * 20_000 + "]" * 20_000,
    }.items():
        yield f"pdf_{name}", _pdf_text(tree=tree)
    for name, content in {
        "many_states": b"q " * 100_000,
        "many_ends": b"Q " * 100_000,
        "many_lines": b"0 0 m " + b"99 99 l 1 2 l " * 20_000 + b"S",
        "numbers": b"9" * 100_000 + b" 0 0 rg",
        "unclosed_text": b"(" * 100_000,
        "inline_picture": b"BI /W 65535 /H 65535 /BPC 8 /CS /RGB ID \0\0 EI",
        "wrong_operators": b"Tj TJ Do sh gs " * 2000,
    }.items():
        yield f"pdf_content_{name}", _pdf_text(content=content)
    form = "5 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 5 0 R>>>>"
    form += "/Length 5>>stream\n/F Do\nendstream endobj"
    resources = "/Resources<</XObject<</F 5 0 R>>>>"
    yield "pdf_form_loop", _pdf_text(resources, b"/F Do " * 50, objects=form)
    yield "pdf_header_alone", b"%PDF-1.7\n"
    yield "pdf_version", b"%PDF-99.99\n" + factories.pdf()[9:]
    yield "pdf_10000_pages", _many_pages(10_000)
    base = factories.pdf()
    at = base.rindex(b"startxref")
    for number, value in enumerate((b"0", b"-1", b"99999999999999999999", b"17")):
        yield f"pdf_table_{number}", base[:at] + b"startxref\n" + value + b"\n%%EOF"
    trailer = f"trailer<</Root 1 0 R/Size 5/Prev {len(base)}>>\nstartxref\n{len(base)}\n%%EOF"
    loop = f"xref\n0 1\n0000000000 65535 f \n{trailer}"
    yield "pdf_table_loop", base + loop.encode()


def _hostile_pdf_objects() -> Iterator[HostileFile]:
    yield "pdf_21_pages", factories.pdf(21)
    for name, encryption in {
        "user_password": pikepdf.Encryption(owner="owner", user="user", R=6),
        "old_password": pikepdf.Encryption(
            owner="owner", user="user", R=3, aes=False, metadata=False
        ),
        "owner_password": pikepdf.Encryption(owner="owner", user="", R=6),
    }.items():
        document = pikepdf.open(io.BytesIO(factories.pdf()))
        yield f"pdf_{name}", factories.save(document, encryption=encryption)
    document = pikepdf.open(io.BytesIO(factories.pdf()))
    document.attachments["evil.exe"] = b"MZ" + CANARY
    yield "pdf_attachment", factories.save(document)
    document = pikepdf.open(io.BytesIO(factories.pdf()))
    field = Dictionary(
        Type=Name.Annot,
        Subtype=Name.Widget,
        FT=Name.Tx,
        T=String("a"),
        V=String(CANARY.decode()),
        Rect=Array([10, 10, 90, 30]),
        AA=Dictionary(K=Dictionary(S=Name.JavaScript, JS=String(SCRIPT))),
    )
    widget = document.make_indirect(field)
    document.pages[0].Annots = Array([widget])
    document.Root.AcroForm = Dictionary(Fields=Array([widget]), NeedAppearances=True)
    yield "pdf_form", factories.save(document)
    for subtype in (
        "Link",
        "RichMedia",
        "Screen",
        "Movie",
        "Sound",
        "FileAttachment",
        "3D",
        "Popup",
    ):
        document = pikepdf.open(io.BytesIO(factories.pdf()))
        annotation = Dictionary(
            Type=Name.Annot,
            Subtype=Name(f"/{subtype}"),
            Rect=Array([0, 0, 300, 200]),
            A=Dictionary(S=Name.Launch, F=String(CANARY.decode())),
        )
        document.pages[0].Annots = Array([document.make_indirect(annotation)])
        yield f"pdf_annotation_{subtype}", factories.save(document)
    picture = partial(_picture_pdf, 30_000, 30_000)
    yield "pdf_picture_bomb", picture(zlib.compress(b"\0" * 1_000_000, 9), Name.FlateDecode)
    twice = zlib.compress(zlib.compress(b"\0" * 20_000_000, 9), 9)
    yield "pdf_twice_compressed", picture(twice, Array([Name.FlateDecode, Name.FlateDecode]))
    for name in ("JPXDecode", "JBIG2Decode", "DCTDecode", "CCITTFaxDecode", "LZWDecode", "Crypt"):
        yield f"pdf_{name}", picture(random.Random(name).randbytes(3000), Name(f"/{name}"))
    yield "pdf_run_lengths", picture(b"\x81\0" * 50_000, Name.RunLengthDecode)
    document = pikepdf.open(io.BytesIO(factories.pdf()))
    document.pages[0].Contents = document.make_stream(b"0 0 m 9 9 l S " * 100_000)
    yield "pdf_content_bomb", factories.save(document, compress_streams=True)
    yield (
        "pdf_object_streams",
        factories.save(
            pikepdf.open(io.BytesIO(factories.pdf(3))),
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
        ),
    )


def _many_pages(count: int) -> bytes:
    """Return a PDF of empty pages with a table of its objects."""
    kids = " ".join(f"{number} 0 R" for number in range(3, count + 3))
    objects = [f"<</Type/Pages/Kids[{kids}]/Count {count}>>"]
    objects += ["<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"] * count
    content, table = "%PDF-1.7\n", "0000000000 65535 f \n"
    for number, text in enumerate(["<</Type/Catalog/Pages 2 0 R>>", *objects], 1):
        table += f"{len(content):010} 00000 n \n"
        content += f"{number} 0 obj{text}endobj\n"
    size = count + 3
    trailer = f"trailer<</Root 1 0 R/Size {size}>>\nstartxref\n{len(content)}\n%%EOF"
    return f"{content}xref\n0 {size}\n{table}{trailer}".encode()


def _picture_pdf(width: int, height: int, data: bytes, decoder: Name | Array) -> bytes:
    """Return a PDF whose page shows a picture with these bytes."""
    document = pikepdf.open(io.BytesIO(factories.pdf(content=b"100 0 0 100 0 0 cm /P Do")))
    stream = document.make_stream(b"")
    stream.write(data, filter=decoder)
    stream.Type, stream.Subtype = Name.XObject, Name.Image
    stream.Width, stream.Height, stream.BitsPerComponent = width, height, 8
    stream.ColorSpace = Name.DeviceRGB
    document.pages[0].Resources = Dictionary(XObject=Dictionary(P=stream))
    return factories.save(document, compress_streams=False)
