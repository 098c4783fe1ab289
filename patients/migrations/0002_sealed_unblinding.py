from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("patients", "0001_initial"), ("trials", "0003_sealed")]

    operations = [
        migrations.RunSQL(
            sql=Path(__file__).with_suffix(".sql").read_text(),
            reverse_sql=(
                "DROP FUNCTION sealed.open_unblinding, sealed.subject_arms, sealed.make_sheets,"
                " sealed.sheet_passwords, sealed.note_refused; DROP TABLE sealed.sheet"
            ),
        )
    ]
