from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("trials", "0005_randomisation")]

    operations = [
        migrations.RunSQL(
            sql=Path(__file__).with_suffix(".sql").read_text(),
            reverse_sql=migrations.RunSQL.noop,
        )
    ]
