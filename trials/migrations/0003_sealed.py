from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("trials", "0002_trials")]

    operations = [
        migrations.RunSQL(
            sql=Path(__file__).with_suffix(".sql").read_text(),
            reverse_sql="DROP SCHEMA sealed CASCADE",
        )
    ]
