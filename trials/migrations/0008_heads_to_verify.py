from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("trials", "0007_known_browsers")]

    # Nothing to undo: before it, the function told less.
    operations = [
        migrations.RunSQL(
            sql=Path(__file__).with_suffix(".sql").read_text(),
            reverse_sql=migrations.RunSQL.noop,
        )
    ]
