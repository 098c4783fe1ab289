"""Only the owner changes the schema; the application and sealed log-ins never do."""


class OwnerMigrates:
    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool:
        return db == "owner"
