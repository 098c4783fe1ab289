from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("dosing", "0001_initial"), ("trials", "0003_sealed")]

    operations = [
        migrations.RunSQL(
            sql=Path(__file__).with_suffix(".sql").read_text(),
            reverse_sql=(
                "DROP FUNCTION sealed.choose_kit, sealed.new_kit;"
                " DROP TABLE sealed.kit_choice, sealed.kit_question"
            ),
        )
    ]
