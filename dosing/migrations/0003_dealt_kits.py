from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dosing", "0002_sealed_kits"), ("trials", "0003_sealed")]

    # A draw from before kits were dealt to sites has no site: with one, this stops here.
    operations = [
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text()),
        migrations.AddField(
            "kitnumberdraw",
            "site",
            models.ForeignKey(
                default=None,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="trials.site",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "kitnumberdrawhistory",
            "site",
            models.ForeignKey(
                db_constraint=False,
                default=None,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                related_query_name="+",
                to="trials.site",
            ),
            preserve_default=False,
        ),
    ]
