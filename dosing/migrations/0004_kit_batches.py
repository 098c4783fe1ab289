from pathlib import Path

from django.db import migrations, models


# Kits that are there came together when their first rows were written in one transaction.
THERE_ALREADY = """
ALTER TABLE dosing_kit DISABLE TRIGGER USER;
ALTER TABLE dosing_kithistory DISABLE TRIGGER USER;
UPDATE dosing_kithistory h SET supply = md5(f.site_id::text || f.pgh_created_at::text)::uuid
  FROM (SELECT DISTINCT ON (pgh_obj_id) pgh_obj_id, site_id, pgh_created_at
          FROM dosing_kithistory ORDER BY pgh_obj_id, pgh_id) f
 WHERE f.pgh_obj_id = h.pgh_obj_id;
UPDATE dosing_kit k SET supply = h.supply FROM dosing_kithistory h WHERE h.pgh_obj_id = k.id;
ALTER TABLE dosing_kithistory ENABLE TRIGGER USER;
ALTER TABLE dosing_kit ENABLE TRIGGER USER;
"""


def supply(model: str, *, null: bool) -> tuple[str, str, models.UUIDField]:
    return model, "supply", models.UUIDField(editable=False, null=null)


class Migration(migrations.Migration):
    dependencies = [("dosing", "0003_dealt_kits")]

    operations = [
        migrations.AddField(*supply("kit", null=True)),
        migrations.AddField(*supply("kithistory", null=True)),
        migrations.RunSQL(THERE_ALREADY),
        migrations.AlterField(*supply("kit", null=False)),
        migrations.AlterField(*supply("kithistory", null=False)),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
    ]
