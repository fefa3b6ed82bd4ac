
acme-uk
salesforce (08@HR00DB0000000TfcRMASXbvc***@acme.examplej

salesforcepz'
linkinvalid_grant*Press Relink.สุ’ุ