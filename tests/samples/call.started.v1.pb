
acme-uk$016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47$c0ffee00-5d2b-4f3b-8a52-9e7d5c2f7d10"emea(2phone:¿Ö’Ø€åšwB
+44207946001802079460018J
+442079460123PZ&
	Main lineSupport
Support v7"EMEAb
Second linebillingenglishj8
1042u-77sam.field@acme.example"005B0000005Bk90IACr=
Case500B0000005Bk90IAC00TB0000005Bk90MAC"click_to_dialz
campaignautumnz
languageen€Š$7d1e0c52-8f0b-4f6e-9a77-5b1d2a9c3e10