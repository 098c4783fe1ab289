"""Forms that take a protocol file: to be checked first, and then submitted or started from."""

from datetime import datetime
from typing import Any

from django import forms

from trials.admin_forms import REHEARSE, DayField, ServiceForm, TrialForm
from trials.models import Trial
from trials.permissions import Permission
from trials.rules.protocol_check import Checked
from trials.services.amendments import submit_version
from trials.services.people import Trained
from trials.services.protocol_files import check_protocol
from trials.services.setup import start_trial


class ProtocolText(forms.CharField):
    """A protocol file pasted whole; lines end as the file's do, not as a browser sends them."""

    def __init__(self) -> None:
        super().__init__(
            label="Protocol file",
            strip=False,
            widget=forms.Textarea(attrs={"rows": 18, "spellcheck": "false"}),
            help_text="The TOML file, pasted whole",
        )

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        return text.replace("\r\n", "\n")


class SubmitForm(TrialForm):
    title, icon, submit = "Submit a protocol version", "upload_file", "Submit"
    permission = Permission.MANAGE_TRIAL
    rehearsal = "Check only"
    note = (
        "Check only names every problem and what the file changes, and keeps nothing."
        " A submitted version comes into force nowhere before it is activated."
    )

    protocol_text = ProtocolText()

    def act(self, *, at: datetime) -> Any:
        return submit_version(by=self.by, at=at, **self.arguments())

    def check(self) -> Checked:
        return check_protocol(by=self.by, **self.arguments())


class StartForm(ServiceForm):
    title, icon, submit = "Start another trial", "add_circle", "Start the trial"
    permission = Permission.MANAGE_TRIAL
    rehearsal = "Check only"
    note = (
        "The trial takes its code, arms and rules from its protocol file, and you become its"
        " first administrator: so your own training comes first. Nobody else enters it before"
        " you give them a role."
    )

    conduct = forms.ChoiceField(
        choices=[
            ("live", "Live: acts carry today's date"),
            ("replay", "Replay of a finished trial: acts carry past dates"),
        ],
        help_text="It cannot be changed afterwards",
    )
    document = forms.CharField(
        max_length=120, label="Your own training: on what", help_text="As in “Protocol and Vigil”"
    )
    version = forms.CharField(max_length=20, label="In which version")
    completed_on = DayField(label="Completed on")
    protocol_text = ProtocolText()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if REHEARSE in self.data:  # a file is checked without a training
            for name in ("document", "version", "completed_on"):
                self.fields[name].required = False

    def act(self, *, at: datetime) -> Trial:
        sent = self.arguments()
        training = Trained(sent.pop("document"), sent.pop("version"), sent.pop("completed_on"))
        return start_trial(by=self.by, at=at, training=training, **sent)

    def check(self) -> Checked:
        return check_protocol(
            trial_id=None, protocol_text=self.cleaned_data["protocol_text"], by=self.by
        )
