"""What programs ask for: the tenants' `/api/v1`, and reports and decisions as replies, which the admin's API gives too."""
