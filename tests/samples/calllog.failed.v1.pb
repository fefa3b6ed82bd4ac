
acme-uk$016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47 *00DB0000000TfcRMAS2%contact003B0000005Bk90IAC (0:
ÈØ’Ø€ÊµîËØ’Ø€Â×/¨@ ª‚
admin!FIELD_CUSTOM_VALIDATION_EXCEPTION*SA validation rule on Task refuses it: ask the org's admin to let the API user pass.²0vcc:acme-uk:016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47