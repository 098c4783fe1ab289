from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("trials", "0006_unblinding"), ("patients", "0004_unblinding")]

    operations = [
        migrations.RunSQL(
            sql=Path(__file__).with_suffix(".sql").read_text(),
            reverse_sql=(
                "DROP FUNCTION sealed.open_unblinding, sealed.subject_arms, sealed.make_sheets,"
                " sealed.sheet_passwords, sealed.note_refused; DROP TABLE sealed.sheet"
            ),
        )
    ]
